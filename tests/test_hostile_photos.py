"""Real photographs among bad rows: every bad row under its reason, no good row lost, whoever is killed."""

import pytest

from hostile_photos import PHOTOS, check_rows, kill_series, outcome, photo, photos, undisturbed
from hostile_server import BAD, hostile_server

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not PHOTOS.is_dir(), reason="needs Flickr8k beside the checkout"),
]


def test_no_good_photograph_is_lost_and_killing_changes_nothing(tmp_path):
    with hostile_server(photo) as server:
        given = photos(server, 200, 0.15)
        settings = {"shard_samples": 80, "timeout_s": 5, "total_timeout_s": 7, "passes": 2}
        whole = undisturbed(tmp_path / "whole", given.rows, server, **settings)
        reasons = check_rows(tmp_path / "whole", given)
        assert set(reasons) >= {given.expected[url] for url in given.expected} - {None}
        assert sum(reasons.values()) >= len(BAD)
        expected = outcome(tmp_path / "whole")

        def check(project):
            assert outcome(project) == expected

        kill_series(tmp_path, given.rows, 1, whole / 2, server, check, print, **settings)
