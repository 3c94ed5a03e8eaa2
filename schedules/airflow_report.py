"""
A DAG for Airflow: the notebooks of the report on the latest run, each night.

Put it in the DAGs folder of an Airflow with ``apache-airflow-providers-papermill``, in whose Python
the workbench is installed. Set the Airflow variable ``workbench`` to the checkout and
``workbench_reports`` to a folder, or to a URL that papermill writes to, such as s3://bucket/reports.
"""

from datetime import UTC, datetime

from airflow import DAG
from airflow.providers.papermill.operators.papermill import PapermillOperator

NOTEBOOKS = ("10-eviction", "20-latency", "30-aof-rewrite")

with DAG(
    dag_id="workbench_report",
    description="The notebooks of the report, executed on the latest run.",
    schedule="45 3 * * *",
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    default_args={"retries": 0},
    tags=["workbench"],
) as dag:
    for notebook in NOTEBOOKS:
        PapermillOperator(
            task_id=f"report-{notebook}",
            input_nb=f"{{{{ var.value.workbench }}}}/notebooks/{notebook}.ipynb",
            output_nb=f"{{{{ var.value.workbench_reports }}}}/{{{{ ds }}}}/{notebook}.ipynb",
            # By its full name: the tasks of one night report on one run.
            parameters={"run_dir": "{{ dag_run.conf.get('run_dir', 'latest') }}"},
            kernel_name="python3",
            language_name="python",
        )
