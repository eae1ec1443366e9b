"""What tests need inside of a process of Airflow, by one name on both lines."""

from operator import attrgetter

try:
    from airflow.dag_processing.dagbag import DagBag
    from airflow.models.xcom import XComModel
    from airflow.serialization.serialized_objects import DagSerialization

    DATE, returned = "logical_date", XComModel.deserialize_value

    def make_known(bag):
        """Tell the metadata database of the DAGs; ``dag.test()`` does it by itself."""

except ImportError:  # Airflow 2
    from airflow.models.dagbag import DagBag
    from airflow.models.xcom import XCom as XComModel  # a row of it is deserialized when it is loaded
    from airflow.serialization.serialized_objects import SerializedDAG as DagSerialization

    DATE, returned = "execution_date", attrgetter("value")

    def make_known(bag):
        """Tell the metadata database of the DAGs, without which it takes no news of their datasets."""
        bag.sync_to_db()


__all__ = ["DATE", "DagBag", "DagSerialization", "XComModel", "make_known", "returned"]
