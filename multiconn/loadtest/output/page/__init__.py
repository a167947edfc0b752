"""THE PAGE: what did a run look like, for people?

`report.html` is one file that loads nothing: text that is complete without a script, then charts
that a script of our own draws. Start reading at `page.render` (the file), then `page.series` (what the charts
show), `page.text` (what is said), then `charts.js` and `report.js`.
"""

from .render import PAGE, write_html

__all__ = ["PAGE", "write_html"]
