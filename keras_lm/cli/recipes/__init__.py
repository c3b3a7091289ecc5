"""One file that says a whole pre-training: read, checked, kept beside what came of it, and run.

`sections` says what a recipe is made of, `reading` how it is read, `checks` what its parts must
have in common, `directory` where its outcome lies, `running` what is done.
"""
