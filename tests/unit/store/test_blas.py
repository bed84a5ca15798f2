from threadpoolctl import threadpool_info, threadpool_limits

from stream_persona.store.memory import MemoryTables
from stream_persona.store.model_replica import make_replica
from tests.support.events import shop
from tests.support.workers import worker_settings


def test_a_process_that_follows_the_model_has_one_thread_of_blas() -> None:
    with threadpool_limits(2, user_api="blas"):
        make_replica(worker_settings(), shop(), MemoryTables())
        threads = {lib["num_threads"] for lib in threadpool_info() if lib["user_api"] == "blas"}
    assert threads == {1}
