// A path as one word of the shell, whatever it holds.
def quoted(path) {
    return "'" + path.toString().replace("'", "'\\''") + "'"
}

// Where the unfinished work of a job lies: it outlasts the attempts.
def unfinished(state, id) {
    return "${state}/${id.tokenize('-').last()}"
}

// The jobs of one step, each as [id, config, result folders of the jobs it needs], once all of these are there.
def ready(jobs, step, done) {
    def mine = jobs.filter { job -> job.step == step }
    def waiting = mine
        .filter { job -> job.needs.size() > 0 }
        .flatMap { job -> job.needs.collect { need -> [need, groupKey(job.id, job.needs.size())] } }
        .combine(done, by: 0)
        .map { _need, id, folder -> [id, folder] }
        .groupTuple(sort: { a, b -> a.name <=> b.name })
        .map { id, folders -> [id.toString(), folders] }
    def free = mine
        .filter { job -> job.needs.size() == 0 }
        .map { job -> [job.id, []] }
    return mine.map { job -> [job.id, job.config] }.join(free.mix(waiting))
}
