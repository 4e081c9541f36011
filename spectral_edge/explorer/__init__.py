"""The explorer: a local page on which regimes and runs are looked at (extra ``app``: Panel and Bokeh).

====================  ==================================================================
`regimes`             the gap equation at one point and over a plane of parameters
`regimes_tab`         the same with sliders
`runs`                a run as curves over its steps, and the file it grows in
`runs_tab`            the same on one time axis
`look`                colours, light and dark, and what every plot has in common
`server`              the page on a free port of this machine
====================  ==================================================================

What is computed stands apart from what is shown, so that it can be tested without a browser.
"""
