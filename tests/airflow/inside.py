"""What tests need inside of a process of Airflow, by one name on both lines."""

from operator import attrgetter

try:
    from airflow.dag_processing.dagbag import DagBag
    from airflow.models.xcom import XComModel
    from airflow.serialization.serialized_objects import DagSerialization

    DATE, returned = "logical_date", XComModel.deserialize_value
except ImportError:  # Airflow 2
    from airflow.models.dagbag import DagBag
    from airflow.models.xcom import XCom as XComModel  # a row of it is deserialized when it is loaded
    from airflow.serialization.serialized_objects import SerializedDAG as DagSerialization

    DATE, returned = "execution_date", attrgetter("value")

__all__ = ["DATE", "DagBag", "DagSerialization", "XComModel", "returned"]
