"""The only place that knows sqlglot: what SQL is let through, and the statements that engines receive."""
