"""A payment provider to play with: a program of its own, which knows nothing of Recoup.

It keeps books in one SQLite file, answers test tokens with every outcome a real provider has,
loses answers on demand, and says what happened in signed events. Start at `program`.
"""
