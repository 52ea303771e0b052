process {{ step.process }} {
    tag "${id}"
    label '{{ step.label }}'

    input:
    tuple val(id), path(config, name: 'config.yaml'), path(inputs, name: 'inputs/*', arity: '0..*')

    output:
    tuple val(id), path("${id}")

    script:
    def parents = inputs.collect { folder -> "--parent ${folder} " }.join('')
    def state = quoted("${task.ext.state}/${id.tokenize('-').last()}")
    """
    tlimb stage run config.yaml --out ${id} ${parents}--datasets ${quoted(task.ext.datasets)} --threads ${task.cpus} --state ${state}
    """

    stub:
    """
    mkdir ${id}
    """
}
