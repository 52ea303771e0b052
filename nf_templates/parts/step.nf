process {{ step.process }} {
    tag "${id}"
    label '{{ step.label }}'
    // A scheduler ends all that is left of a job when this script ends: one that was told to stop has to be given time to save its state.
    afterScript { "flock --wait 60 ${quoted(unfinished(task.ext.state, id))}/lock true 2> /dev/null || true" }

    input:
    tuple val(id), path(config, name: 'config.yaml'), path(inputs, name: 'inputs/*', arity: '0..*')

    output:
    tuple val(id), path("${id}")

    script:
    def parents = inputs.collect { folder -> "--parent ${folder} " }.join('')
    """
    tlimb stage run config.yaml --out ${id} ${parents}--datasets ${quoted(task.ext.datasets)} --threads ${task.cpus} --state ${quoted(unfinished(task.ext.state, id))}
    """

    stub:
    """
    mkdir ${id}
    """
}
