"""A run's files: written as it goes, read back whole, and never over another run's."""

import errno
import re
import shutil
from itertools import pairwise

import pytest

from multiconn.loadtest.config import Config
from multiconn.loadtest.measure import hdr
from multiconn.loadtest.measure.errors import Incident
from multiconn.loadtest.measure.histogram import Histogram
from multiconn.loadtest.measure.intervals import MEASURING, WARMUP
from multiconn.loadtest.output import files, saved_run
from multiconn.loadtest.sink import Plan
from tests.multiconn.loadtest.runs import histogram, interval

from .conftest import PERCENTS


def test_an_interval_is_on_disk_as_soon_as_it_is_told(writer):
    for t in (1.0, 2.0):
        writer.interval(interval(t, MEASURING, 1000, 2000, 3_000_000))
        read = list(saved_run.read_intervals(writer.directory))
        assert [line["t"] for line in read] == [1.0, 2.0][: int(t)]
    assert read[-1]["counts"]["ok"] == 3
    assert read[-1]["latency_s"]["response"]["max"] == 0.003
    assert list(read[-1]["latency_s"]["response"]["p"]) == ["50", "99.9"]


def test_the_measured_intervals_of_the_log_add_up_to_the_run(writer):
    told = [interval(1.0, WARMUP, 7), interval(2.0, MEASURING, 5, 10**6), interval(3.0, "draining", 10**9)]
    for each in told:
        writer.interval(each)
    log = (writer.directory / files.LOG).read_text().splitlines()
    assert log[2] == "#[StartTime: 1700000000.250 (seconds since epoch)]"
    lines = [line.split(",") for line in log if line.startswith("Tag=")]
    assert [line[:4] for line in lines] == [
        ["Tag=response", "1.000", "1.000", "1.000"],
        ["Tag=response", "2.000", "1.000", "1000.000"],
    ]
    whole = Histogram()
    for line in lines:
        whole.merge(hdr.decode(line[4]))
    assert whole.counts == histogram(5, 10**6, 10**9).counts


def test_incidents_are_written_with_their_details(writer):
    writer.interval(interval(1.0, incidents=[("reset", Incident(0.5, 7, "gone \U0001f430", 4))]))
    assert saved_run.read_run(writer.directory).errors == [
        {"at_s": 0.5, "name": "reset", "connection": 7, "detail": "gone \U0001f430", "requests": 4}
    ]


def test_a_directory_with_a_run_is_refused(writer):
    writer.release()
    with pytest.raises(files.DirectoryTaken, match=r"has a run already \(timeseries.jsonl\)"):
        files.Writer(writer.directory, PERCENTS)


def test_two_runs_at_a_time_do_not_share_a_directory(tmp_path):
    first = files.Writer(tmp_path, PERCENTS)
    with pytest.raises(files.DirectoryTaken, match=r"another run is writing to .*; name another directory"):
        files.Writer(tmp_path, PERCENTS)
    first.release()
    first.release()
    files.Writer(tmp_path, PERCENTS).release()
    assert list(tmp_path.iterdir()) == [], "the lock leaves no file"


def test_where_a_directory_can_not_be_locked_files_are_made_anew_or_not_at_all(tmp_path, monkeypatch):
    def flock(descriptor, how):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("multiconn.loadtest.output.files.fcntl.flock", flock)
    plan = Plan(Config(), "tcp://127.0.0.1:1", 1.0)
    first, second = files.Writer(tmp_path, PERCENTS), files.Writer(tmp_path, PERCENTS)
    first.begin(plan)
    with pytest.raises(files.DirectoryTaken, match="is there already"):
        second.begin(plan)
    first.interval(interval(1.0))
    first.close()
    assert len(list(saved_run.read_intervals(tmp_path))) == 1


def test_the_files_are_for_their_owner_alone_and_no_link_is_followed(writer, tmp_path):
    writer.interval(interval(1.0, MEASURING, 5))
    writer.end(None)
    writer.complete({"schema": "appload/1"})
    made = sorted(writer.directory.iterdir())
    assert len(made) == 6
    assert {path.stat().st_mode & 0o777 for path in made} == {0o600}
    (tmp_path / "victim").write_text("precious")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / files.ERRORS).symlink_to(tmp_path / "victim")
    with pytest.raises(files.DirectoryTaken, match=r"has a run already \(errors.jsonl\)"):
        files.Writer(tmp_path / "other", PERCENTS)
    later = files.Writer(tmp_path / "later", PERCENTS)
    (tmp_path / "later" / files.ERRORS).symlink_to(tmp_path / "victim")
    with pytest.raises(files.DirectoryTaken, match="is a symbolic link"):
        later.begin(Plan(Config(), "t", 1.0))
    later.close()
    assert (tmp_path / "victim").read_text() == "precious"


def test_a_directory_that_is_removed_is_told_and_raises_nothing(writer):
    writer.interval(interval(1.0, MEASURING, 5))
    shutil.rmtree(writer.directory)
    writer.interval(interval(2.0, MEASURING, 5))
    writer.end(None)
    writer.complete({"schema": "appload/1"})
    assert "are not whole (response.hgrm: No such file or directory)" in writer.trouble


def test_a_directory_that_cannot_be_made_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(files.DirectoryTaken, match="name another one"):
        files.Writer(tmp_path / "file" / "run", PERCENTS)


def test_a_run_that_is_refused_before_it_begins_leaves_no_file(tmp_path):
    files.Writer(tmp_path, PERCENTS).release()
    assert list(tmp_path.iterdir()) == []


def test_the_distribution_ends_at_100_percent_and_holds_every_value(writer):
    values = [1_000_000 * (n + 1) for n in range(1000)]
    writer.interval(interval(1.0, MEASURING, *values))
    writer.end(None)
    text = (writer.directory / "response.hgrm").read_text()
    rows = [line.split() for line in text.splitlines() if re.match(r" +\d", line)]
    assert float(rows[-1][0]) == 1000.0
    assert [float(rows[-1][1]), int(rows[-1][2])] == [1.0, 1000]
    assert all(float(a[0]) <= float(b[0]) and float(a[1]) < float(b[1]) for a, b in pairwise(rows))
    half = next(row for row in rows if float(row[1]) >= 0.5)
    assert float(half[0]) == pytest.approx(500, rel=0.001)
    assert "Total count    =         1000]" in text
    assert "#[Mean    =   500.5" in text


def test_a_run_without_latencies_has_its_files_all_the_same(writer):
    writer.end(None)
    assert "Total count    =            0]" in (writer.directory / "service.hgrm").read_text()


def test_a_full_disk_does_not_end_the_run(writer):
    class Full:
        def write(self, text):
            raise OSError(28, "No space left on device")

        def flush(self):
            pass

        close = flush

    writer._streams[files.TIMESERIES].close()
    writer._streams[files.TIMESERIES] = Full()
    writer.interval(interval(1.0, MEASURING, 5))
    writer.end(None)
    assert "No space left" in writer.trouble


def test_hdrhistogram_s_own_library_reads_the_log(writer):
    log = pytest.importorskip("hdrh.log", reason="hdrhistogram is not installed (pip install '.[test]')")
    from hdrh.histogram import HdrHistogram

    values = [1, 999, 1_000_000, 1_000_000, 123_456_789, 3_599_000_000_000]
    writer.interval(interval(1.0, MEASURING, *values))
    writer.interval(interval(2.0, MEASURING, 5_000_000))
    read = HdrHistogram(1, 3_600_000_000_000, 3)
    reader = log.HistogramLogReader(str(writer.directory / files.LOG), read)
    lines = 0
    while reader.add_next_interval_histogram(read) is not None:
        lines += 1
    reader.close()
    assert lines == 2
    ours = histogram(*values, 5_000_000)
    assert read.get_total_count() == 7
    for value in (*values, 5_000_000):
        assert read.get_count_at_value(value) == values.count(value) or value == 5_000_000
    for percent in (1, 50, 100):  # it rounds ranks to the nearest, we round up
        assert read.get_value_at_percentile(percent) == pytest.approx(ours.percentile(percent), rel=0.001)
