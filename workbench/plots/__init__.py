"""
The drawing room: matplotlib, and nothing else draws.

``draw_x(ax, frame)`` draws on an Axes, ``figure_x(run)`` makes a Figure; neither reads a file nor
shows anything. ``Chart`` is a figure with its words, as a notebook displays it.
"""
