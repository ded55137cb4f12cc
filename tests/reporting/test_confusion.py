"""The confusion matrix as rows, and of a large one the part with the mistakes."""

import numpy as np

from automl_images.reporting.confusion import confusion_rows, most_confused


def test_counts_and_shares_of_rows_with_missed_objects_and_background(measured):
    columns, rows = confusion_rows(measured)
    assert columns == ["can", "milk_bottle", "Missed"]
    assert [row["name"] for row in rows] == ["can", "milk_bottle", "background"]
    assert [list(row["counts"]) for row in rows] == [[2, 0, 0], [1, 0, 0], [0, 0, None]]
    assert [row["shares"] for row in rows] == [[1, 0, 0], [1, 0, 0], [0, 0, 0]]


def test_a_classifier_misses_nothing(classify):
    columns, rows = confusion_rows(classify(["can", "carton", "cup", "jar"]))
    assert columns == ["can", "carton", "cup", "jar"] == [row["name"] for row in rows]
    assert [row["counts"] for row in rows] == [[2, 0, 0, 0], [0, 2, 0, 0], [2, 0, 0, 0], [0, 0, 0, 2]]


def test_there_is_none_with_several_classes_an_image(classify):
    assert confusion_rows(classify(["can", "carton", "cup", "jar"], multilabel=True)) == ([], [])


def test_a_small_matrix_is_shown_whole(measured):
    assert most_confused(*confusion_rows(measured), limit=2) == confusion_rows(measured)


def large():
    """Five classes of ten objects; 3 d are called b, 2 b are missed, 1 a is called c; 7 detections of e are wrong."""
    matrix = np.diag([10] * 5)
    matrix = np.column_stack([matrix, np.zeros(5, int)])
    for annotated, said, count in [(3, 1, 3), (1, 5, 2), (0, 2, 1)]:
        matrix[annotated, annotated] -= count
        matrix[annotated, said] += count
    return {"class_labels": [*"abcde", "Missed"], "matrix": matrix.tolist(), "background": [0, 0, 0, 0, 7]}


def test_the_most_confused_classes_of_a_large_matrix():
    columns, rows = most_confused(*confusion_rows({"confusion_matrix": large()}), limit=3)
    assert columns == ["a", "b", "d", "others", "Missed"]
    assert [(row["name"], row["counts"]) for row in rows] == [
        ("a", [9, 0, 0, 1, 0]),
        ("b", [0, 8, 0, 0, 2]),
        ("d", [0, 3, 7, 0, 0]),
        ("background", [0, 0, 0, 7, None]),
    ]
    assert rows[2]["shares"] == [0, 0.3, 0.7, 0, 0]


def test_a_class_named_background_is_a_class():
    matrix = {"class_labels": ["a", "background"], "matrix": [[3, 1], [0, 4]]}
    columns, rows = most_confused(*confusion_rows({"confusion_matrix": matrix}), limit=1)
    assert columns == ["a", "others"]
    assert [row["counts"] for row in rows] == [[3, 1]]
