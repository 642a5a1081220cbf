"""Following a run from its events file."""

from lora_gui.protocol import events
from lora_gui.studio.tasks.status import Follower


def test_half_a_line_is_read_when_it_is_whole(tmp_path):
    path = tmp_path / "events.jsonl"
    follower = Follower(path)
    assert follower.read().state == "queued"
    line = events.to_line(events.Note("Grüße 🙂")).encode() + b"\n"
    first = events.to_line(events.Started(steps=10)).encode() + b"\n"
    path.write_bytes(first + line[:20])
    assert follower.new_events() == [events.Started(steps=10)] and follower.read().state == "running"
    path.write_bytes(first + line)
    assert follower.new_events() == [events.Note("Grüße 🙂")] and follower.new_events() == []
    assert follower.read().notes == ("Grüße 🙂",)


def test_nonsense_between_the_events_is_passed_over(tmp_path):
    path = tmp_path / "events.jsonl"
    path.write_bytes(
        b'\xff\xfe nonsense\n{"event": "Tomorrow"}\n[1]\n\n' + events.to_line(events.Started(steps=3)).encode() + b"\n"
    )
    assert Follower(path).read().of == 3


def test_the_status_tells_everything_that_was_said(tmp_path):
    path = tmp_path / "events.jsonl"
    sample = events.Sample(step=4, path="s.png", prompt="p", seed=1)
    said = [
        events.Started(steps=8),
        events.Phase("Encoding pictures", 2, 5),
        events.Step(4, 8, 0.5, 1e-4, 6.0),
        sample,
        events.Step(8, 8, 0.4, 1e-4, 0.0),
        events.Done(lora="a.safetensors", sha256="ab", steps=8, seconds=12.5),
    ]
    texts = [events.to_line(event).encode() + b"\n" for event in said]
    path.write_bytes(b"".join(texts[:2]))
    follower = Follower(path)
    status = follower.read()
    assert (status.phase, status.done, status.phase_of, status.seconds_left) == ("Encoding pictures", 2, 5, None)
    path.write_bytes(b"".join(texts[:4]))
    status = follower.read()
    assert (status.phase, status.step, status.seconds_left, status.samples) == (
        "",
        4,
        6.0,
        (sample,),
    ) and not status.ended
    path.write_bytes(b"".join(texts))
    status = follower.read()
    assert status.losses == ((4, 0.5), (8, 0.4)) and status.ended
    assert (status.state, status.lora, status.sha256, status.seconds) == ("finished", "a.safetensors", "ab", 12.5)
