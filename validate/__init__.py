"""Top floor: claims against data. Three wings: gram (data comes in), runs (data is made), referee (data is judged)."""
