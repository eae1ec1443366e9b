"""The vocabulary of dq: frozen values made of attrs and the standard library, nothing else."""
