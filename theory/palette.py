"""The colours of every figure: Okabe and Ito's, told apart by colour-blind readers; line styles tell apart in grey."""

BLUE = "#0072b2"
SKY = "#56b4e9"
GREEN = "#009e73"
ORANGE = "#e69f00"
RED = "#d55e00"
PURPLE = "#cc79a7"
BLACK = "#333333"
GREY = "#888888"

#: How much a result leans on [P, H] ≈ 0: light to dark, so that the order survives in grey.
LEANING = {"none": SKY, "weak": ORANGE, "strong": "#9c2c00"}
#: From unstable to stable, red to green as in the thesis, and dark to light.
STABILITY = ("#7f1d00", "#c4500e", "#e99a4f", "#f0d9a8", "#c9ead0")
