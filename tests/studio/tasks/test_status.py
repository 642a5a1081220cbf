"""Following a run from its events file."""

from dataclasses import replace

from lora_gui.protocol import events
from lora_gui.studio.tasks.status import Follower, brief


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
    sample = events.Sample(step=4, path=str(tmp_path / "s.png"), prompt="line\u2028line", seed=1)
    said = [
        events.Started(steps=8),
        events.Phase("Encoding pictures", 2, 5),
        events.Step(4, 8, 0.5, 1e-4, 6.0),
        sample,
        events.Step(8, 8, 0.4, 1e-4, 0.0),
        events.Done(lora=str(tmp_path / "a.safetensors"), sha256="ab", steps=8, seconds=12.5),
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
    assert (status.state, status.lora) == ("finished", str(tmp_path / "a.safetensors"))
    assert (status.sha256, status.seconds) == ("ab", 12.5)


def test_an_older_app_reads_what_a_newer_one_says_as_far_as_it_can(tmp_path):
    path = tmp_path / "events.jsonl"
    path.write_text(
        '{"event": "Started", "steps": 9, "first_step": 0, "device": "card 2"}\n'
        '{"event": "Temperature", "celsius": 80}\n'
        '{"event": "Done", "lora": "x", "sha256": "ab", "steps": 9, "seconds": 1, "id": "", "insight": {"a": [1]}}\n'
    )
    assert (Follower(path).read().state, Follower(path).read().of) == ("finished", 9)


def test_a_field_of_another_type_costs_its_own_event_only(tmp_path):
    path = tmp_path / "events.jsonl"
    nested = '{"event": "Note", "text": ' + "[" * 200_000 + "]" * 200_000 + "}"
    lines = ['{"event": "Started", "steps": "many"}', '{"event": "Done", "lora": 5}', nested, "[" * 100_000]
    path.write_text("\n".join([*lines, '{"event": "Started", "steps": 3}']) + "\n")
    assert (Follower(path).read().state, Follower(path).read().of) == ("running", 3)


def test_what_is_noted_again_when_a_run_goes_on_is_said_once(tmp_path):
    path = tmp_path / "events.jsonl"
    said = (events.Started(9), events.Note("x"), events.Paused(4), events.Resumed(), events.Started(9, 4))
    path.write_text("".join(events.to_line(one) + "\n" for one in (*said, events.Note("x"), events.Note("y"))))
    assert Follower(path).read().notes == ("x", "y")


def test_the_brief_status_is_the_whole_one_without_what_is_long(tmp_path):
    path, note = tmp_path / "events.jsonl", '{"event": "Note", "text": "x"}'
    steps = [events.to_line(events.Step(n, 9, 0.5, 1e-4, 1.0)) for n in range(1, 5)]
    told = [events.to_line(events.Started(9)), note, *steps, events.to_line(events.Saved(4, "c"))]
    for last in (events.Paused(4), events.Failed("No.", "Again.", cause="memory"), events.Resumed("less"), None):
        lines = [*told, events.to_line(last)] if last else told
        path.write_text("".join(line + "\n" for line in lines))
        notes = ("less",) * ("less" in lines[-1])
        assert brief(path) == replace(Follower(path).read(), losses=(), samples=(), notes=notes)
