import re

import numpy as np

from wxr_plugin.demo.scores import BODY
from wxr_plugin.utils import html as report


def test_the_page_is_self_contained_and_escapes_names():
    photo = np.full((30, 40, 3), 128, np.uint8)
    shown = report.figure('<b>"x"', photo, photo, "rating 2 & 3")
    html = report.page(
        "<demo>",
        BODY,
        summary="s",
        photos=shown,
        pair_table=report.html_table(["a"], [["all"]]),
        rating_table="",
        facts="",
        rating_note="",
    )
    assert not re.search(r'(src|href)="(?!data:)', html)
    assert "<title>&lt;demo&gt;</title>" in html
    assert "<b>" not in shown.split("figcaption")[0]
    assert "rating 2 &amp; 3" in html
    assert html.count("data:image/jpeg;base64,") == 2


def test_tables_mark_the_best_cell_and_align_for_the_terminal():
    html = report.html_table(["weather", "PSNR"], [["rain", "*21.00"], ["all", "9.00"]])
    assert '<td class="best">21.00</td>' in html
    assert '<tr class="all">' in html
    assert (
        report.text_table(["weather", "PSNR"], [["rain", "21.00"]])
        == "weather   PSNR\nrain     21.00"
    )


def test_large_photos_are_made_smaller():
    big, small = (
        len(report.data_uri(np.random.randint(0, 255, (h, h, 3), np.uint8))) for h in (1200, 640)
    )
    assert abs(big / small - 1) < 0.3
