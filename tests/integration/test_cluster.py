"""The main job and the API on a Redis Cluster of three masters: their own tests, once more there.

``STREAM_PERSONA_TEST_REDIS=cluster`` runs every other integration test there as well.
"""

import pytest

from tests.integration.test_api import (
    test_a_lookup_is_the_public_record_and_of_strangers_404,
    test_changes_are_heard_caught_up_on_and_end_with_the_process,
    test_the_seed_query_is_answered_by_the_workers_own_arithmetic,
)
from tests.integration.test_main_job import (
    shop,
    start_worker,
    test_a_deleted_customer_leaves_nothing_and_older_events_stay_dropped,
    test_records_and_model_at_rest_are_the_fold_of_the_topics_whatever_dies,
    test_revisions_have_no_hole_and_the_last_change_is_the_public_record,
)
from tests.integration.test_replay import (
    test_what_a_worker_has_applied_is_not_applied_again_and_it_goes_on_after,
)
from tests.support.redis_cluster import RedisCluster

__all__ = [
    "shop",
    "start_worker",
    "test_a_deleted_customer_leaves_nothing_and_older_events_stay_dropped",
    "test_a_lookup_is_the_public_record_and_of_strangers_404",
    "test_changes_are_heard_caught_up_on_and_end_with_the_process",
    "test_records_and_model_at_rest_are_the_fold_of_the_topics_whatever_dies",
    "test_revisions_have_no_hole_and_the_last_change_is_the_public_record",
    "test_the_seed_query_is_answered_by_the_workers_own_arithmetic",
    "test_what_a_worker_has_applied_is_not_applied_again_and_it_goes_on_after",
]


@pytest.fixture(scope="session")
def redis_server(redis_cluster: RedisCluster) -> RedisCluster:
    """In this file a Cluster is what ``settings`` leads to."""
    return redis_cluster
