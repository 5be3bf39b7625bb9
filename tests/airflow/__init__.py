"""The example DAG, run by Airflow: `make test-airflow`. Nothing here is for pytest."""
