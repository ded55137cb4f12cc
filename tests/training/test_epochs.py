import pytest
from tiny_learner import settings

from automl_images.training.epochs import Pace, Standing, is_due
from automl_images.training.progress import duration, progress_line


def test_progress_is_watched_from_the_delay_on_and_only_a_better_score_resets():
    standing, counts = Standing(), []
    for score in (0.5, 0.4, 0.5, 0.4, 0.6, 0.6):
        standing.judge(score, {}, delay=2)
        counts.append(standing.no_progress)
        standing.begin_next_epoch()
    assert counts == [0, 0, 1, 2, 0, 1]
    assert (standing.best_epoch, standing.best_score) == (5, 0.6)


def test_evaluated_epochs():
    given = settings(number_of_epochs=8)
    assert [epoch for epoch in range(8) if is_due(epoch, 3, given)] == [0, 3, 6, 7]


def test_time_left_counts_steps_and_evaluations():
    given = settings(number_of_epochs=4, evaluation_frequency=2)
    pace = Pace()
    assert pace.seconds_left(Standing(), 10, given) is None
    pace.add_steps(5.0, 10)
    standing = Standing(epoch=1, step=4)
    standing.add_evaluation(2.0)
    standing.add_evaluation(4.0)
    # Epoch 1 of 4 (from 0), 4 of 10 steps done: 26 steps of 0.5 s, evaluations after epochs 2 and 3.
    assert pace.seconds_left(standing, 10, given) == pytest.approx(26 * 0.5 + 2 * 3.0)
    assert pace.guess_of_evaluation(4, 40) == pytest.approx(0.5 * 40 * 0.5 / 4)
    assert pace.seconds_left(Standing(epoch=4), 10, given) == 0


def test_lines():
    event = {"event": "progress", "epoch": 3, "epochs": 15, "step": 40, "steps": 120}
    assert progress_line(event | {"images_per_second": 11.61, "eta_seconds": 754}) == (
        "epoch 3/15, step 40/120, 11.6 images/s, 12 min 34 s left"
    )
    event = {"event": "epoch", "epoch": 3, "epochs": 15, "primary_metric_name": "mean_average_precision"}
    measured = {"primary_metric": 0.5, "is_best": True, "log_loss_train": 1.25, "eta_seconds": None}
    assert progress_line(event | measured) == "epoch 3/15, mean_average_precision 0.5000 (best), loss 1.2500"


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0 s"), (59.6, "1 min 0 s"), (754, "12 min 34 s"), (7500, "2 h 5 min"), (-3, "0 s")]
)
def test_durations(seconds, text):
    assert duration(seconds) == text
