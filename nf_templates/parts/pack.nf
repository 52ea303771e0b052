process {{ step.process }}_PACK {
    tag "${pack}"
    label '{{ step.label }}'
    // See {{ step.process }}.
    afterScript 'flock --wait 60 pack.lock true 2> /dev/null || true'

    input:
    tuple val(pack), path(configs, name: 'configs/*', arity: '1..*'), path(inputs, name: 'inputs/*', arity: '0..*')

    output:
    tuple val(pack), path('done/*', arity: '0..*')

    script:
    def parents = inputs.collect { folder -> "--parent ${folder} " }.join('')
    def jobs = task.ext.jobs > 1 ? "--jobs ${task.ext.jobs} " : ''
    """
    exec 9> pack.lock && flock 9
    tlimb stage run configs/*.yaml --into done ${parents}${jobs}--datasets ${quoted(task.ext.datasets)} --threads ${Math.max(1, task.cpus.intdiv(task.ext.jobs))} --state ${quoted(task.ext.state)} || {
        status=\$?
        [ \$status = 1 ] || exit \$status    # 1: some have failed, and are left over
    }
    """

    stub:
    """
    mkdir -p ${configs.collect { config -> "done/${config.baseName}" }.join(' ')}
    """
}
