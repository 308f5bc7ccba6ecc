import numpy as np

from wxr_plugin.utils import html as report


def test_a_page_escapes_its_title(tmp_path):
    body = tmp_path / "body.html"
    body.write_text("<p>$text</p>")
    page = report.page("<demo>", body, text="rating 2 &amp; 3")
    assert "<title>&lt;demo&gt;</title>" in page
    assert "<p>rating 2 &amp; 3</p>" in page


def test_large_photos_are_made_smaller():
    big, small = (
        len(report.data_uri(np.random.randint(0, 255, (h, h, 3), np.uint8))) for h in (1200, 640)
    )
    assert abs(big / small - 1) < 0.3
