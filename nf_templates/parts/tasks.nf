// The packs of one step, each as [pack, configs, result folders of the jobs that these need], once these are there. Members whose needs
// failed are left out; then a pack has to wait until all is over that it could need.
def packed(jobs, step, done) {
    def packs = jobs.filter { job -> job.step == step && job.pack }
        .map { job -> [job.pack, job] }
        .groupTuple(sort: { a, b -> a.id <=> b.id })
    def there = packs
        .flatMap { pack, members ->
            def needs = members.collectMany { job -> job.needs }.unique()
            needs.collect { need -> [need, groupKey(pack, needs.size())] }
        }
        .combine(done, by: 0)
        .map { _need, pack, folder -> [pack, folder] }
        .groupTuple(sort: { a, b -> a.name <=> b.name }, remainder: true)
        .map { pack, folders -> [pack.toString(), folders] }
    return packs.join(there)
        .map { pack, members, folders ->
            def names = folders.collect { folder -> folder.name }
            def able = members.findAll { job -> names.containsAll(job.needs) }
            def needs = able.collectMany { job -> job.needs }
            [pack, able.collect { job -> job.config }, folders.findAll { folder -> needs.contains(folder.name) }]
        }
        .filter { _pack, configs, _folders -> configs.size() > 0 }
}

// The result folders of packs, each as [id, folder].
def unpacked(packs) {
    return packs.flatMap { _pack, folders -> folders.collect { folder -> [folder.name, folder] } }
}

// The jobs that are tasks of their own: those in no pack, and those that a pack has left over.
def alone(jobs, packs) {
    def left = jobs.filter { job -> job.pack }
        .map { job -> [job.pack, job] }
        .combine(packs, by: 0)
        .filter { _pack, job, folders -> !folders.any { folder -> folder.name == job.id } }
        .map { _pack, job, _folders -> job }
    return jobs.filter { job -> !job.pack }.mix(left)
}
