"""`run.browse()`: a widget to filter, search, read and judge the rows of a run.

    index    the small columns of all rows, and who passes the filters
    scan     whose messages call a tool or say a text, group by group
    desk     questions of the page -> answers, without any widget
    widget   the desk behind anywidget, for JupyterLab and marimo

The page itself is ../static/browse.js. It builds elements from trees (markup.py), so that
nothing that a row holds is ever parsed as HTML.
"""
