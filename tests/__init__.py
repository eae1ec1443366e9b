"""The tests of dq: real databases, real servers on loopback, real Airflow."""
