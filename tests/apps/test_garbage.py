"""What a running bot keeps is not looked through again, and is let go at the end."""

import gc

from stakan.apps.garbage import long_lived


def test_what_existed_is_out_of_the_collector_s_sight_until_the_end():
    before = gc.get_freeze_count()
    with long_lived():
        assert gc.get_freeze_count() > before + 1_000
        assert len(gc.get_objects()) < gc.get_freeze_count()
    assert gc.get_freeze_count() == 0
