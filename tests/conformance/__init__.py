"""Cases of other projects, run against dq on each engine."""
