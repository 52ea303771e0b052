"""Effects: engines that run a stage graph, and the store of what is finished."""
