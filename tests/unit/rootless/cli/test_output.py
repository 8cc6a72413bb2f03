"""Ages in lists, in Docker's words."""

import pytest

from rootless.cli.output import human_age, since

HOUR = 3600
DAY = 24 * HOUR


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (-5, "Less than a second"),
        (0.9, "Less than a second"),
        (1, "1 second"),
        (59, "59 seconds"),
        (60, "About a minute"),
        (120, "2 minutes"),
        (59 * 60, "59 minutes"),
        (HOUR, "About an hour"),
        (1.4 * HOUR, "About an hour"),
        (1.5 * HOUR, "2 hours"),
        (47 * HOUR, "47 hours"),
        (2 * DAY, "2 days"),
        (14 * DAY, "2 weeks"),
        (60 * DAY, "2 months"),
        (730 * DAY, "2 years"),
    ],
)
def test_age_is_in_dockers_words(seconds, words):
    assert human_age(seconds) == words


def test_age_of_an_image_that_does_not_know_it_is_not_given():
    assert since("0001-01-01T00:00:00Z") == since("") == since("x") == "N/A"
    assert since("1970-01-01T00:00:00Z").endswith(" years ago")
