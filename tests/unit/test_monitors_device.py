"""What the device says of uploads: as many views as the model makes, until a cloud shows how many it reads."""

from __future__ import annotations

from edge_agent.clock import ManualClock
from edge_agent.monitors.device import DeviceMonitors
from edge_agent.types import EmbeddingSizes, Generation, Modality


def answer(views_up: int, views_read: int | None = None) -> Generation:
    read = views_up if views_read is None else views_read
    return Generation("cup", 0.9, 0.1, 1, bytes_up=4000, views_up=views_up, views_read=read, upload_ms=20.0)


def test_views_are_counted_as_they_can_be_made_and_then_as_they_went_up() -> None:
    monitors = DeviceMonitors(ManualClock(), EmbeddingSizes(1000, views=5, sound_bytes=100), 0.0)
    state = monitors.state()
    assert (state.upload_views, state.embedding_bytes_estimate, state.sound_bytes_estimate) == (5, 5000, 100)
    monitors.cloud_answered(answer(1), 50.0)
    assert (monitors.state().upload_views, monitors.state().embedding_bytes_estimate) == (1, 1000)


def test_a_cloud_that_was_sent_the_overview_alone_still_counts_as_one_that_reads_all() -> None:
    monitors = DeviceMonitors(ManualClock(), EmbeddingSizes(1000, views=5, sound_bytes=100), 0.0)
    monitors.cloud_answered(answer(1, views_read=5), 50.0)
    assert monitors.state().upload_views == 5


def test_an_answer_about_sound_alone_says_nothing_about_views() -> None:
    monitors = DeviceMonitors(ManualClock(), EmbeddingSizes(1000, views=5, sound_bytes=100), 0.0)
    monitors.cloud_answered(answer(0), 50.0)
    assert monitors.state().upload_views == 5


def test_what_can_be_encoded_follows_from_the_model() -> None:
    deaf = DeviceMonitors(ManualClock(), EmbeddingSizes(1000), 0.0).state()
    assert (deaf.encodable, deaf.sound_bytes_estimate) == ((Modality.IMAGE,), None)
    hearing = DeviceMonitors(ManualClock(), EmbeddingSizes(1000, sound_bytes=9), 0.0).state()
    assert hearing.encodable == (Modality.IMAGE, Modality.AUDIO)


def test_without_a_model_nothing_is_estimated() -> None:
    state = DeviceMonitors(ManualClock(), None, 0.0).state()
    assert (state.embedding_bytes_estimate, state.sound_bytes_estimate, state.upload_views) == (None, None, 1)
