"""From a stage graph to what engines need of it; pure."""
