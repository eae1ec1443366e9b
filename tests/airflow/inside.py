"""What tests need inside of a process of Airflow, by one name on both lines."""

from operator import attrgetter

try:
    from airflow.dag_processing.dagbag import DagBag
    from airflow.models.asset import AssetEvent
    from airflow.models.xcom import XComModel
    from airflow.serialization.serialized_objects import DagSerialization

    DATE, returned = "logical_date", XComModel.deserialize_value

    def events_of(session, dag_id, run_id):
        """Return the assets that a DAG run has updated, with what was said of each, in order."""
        rows = session.query(AssetEvent).filter_by(source_dag_id=dag_id, source_run_id=run_id).order_by(AssetEvent.id)
        return [(row.asset.uri, row.extra) for row in rows]

    def make_known(bag):
        """Tell the metadata database of the DAGs; ``dag.test()`` does it by itself."""

except ImportError:  # Airflow 2
    from airflow.models.dagbag import DagBag
    from airflow.models.dataset import DatasetEvent
    from airflow.models.xcom import XCom as XComModel  # a row of it is deserialized when it is loaded
    from airflow.serialization.serialized_objects import SerializedDAG as DagSerialization

    DATE, returned = "execution_date", attrgetter("value")

    def events_of(session, dag_id, run_id):
        """Return the datasets that a DAG run has updated, with what was said of each, in order."""
        rows = session.query(DatasetEvent).filter_by(source_dag_id=dag_id, source_run_id=run_id)
        return [(row.dataset.uri, row.extra) for row in rows.order_by(DatasetEvent.id)]

    def make_known(bag):
        """Tell the metadata database of the DAGs, without which it takes no news of their datasets."""
        bag.sync_to_db()


__all__ = ["DATE", "DagBag", "DagSerialization", "XComModel", "events_of", "make_known", "returned"]
