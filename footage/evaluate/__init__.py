"""Tell how good a library finds: labelled clips, captions, and copies that were attacked on purpose.

material.py   looks at videos once, and tells which are copies of each other already
timeline.py   attacks on time, and what is true of a clip
pictures.py   attacks on pictures, with drawing.py (Pillow)
attacks.py    every attack by name and strength
plans.py      which copies a benchmark has, by seed
making.py     renders them
"""
