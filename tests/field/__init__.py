"""The field oracle: what every engine, image and peer takes for granted, and no specification says.

A case (case.py) is a configuration, an image, a caller and calls, as data. It is played (play.py)
with ours, with runc and with crun, each in a directory and a mount namespace of its own (scene.py).
In the container, in every hook, and in what `exec` starts, a static probe (look.c) reports all that
it can ask the kernel for; outside, exit statuses, `state`, `list`, `ps`, cgroups, and what is left
afterwards are seen (observe.py). Where both peers agree and we differ, that is a fault of ours
(compare.py), unless differences.toml names it, with its reason and the page that tells users;
docs/differences.md is made of that file.

Cases come from three places:

- dimensions.py: fixed ones, every property once. Each says which known fault it finds.
- generate.py: hypothesis changes configurations (seeds.py) over the vocabulary of the properties.
- found/: what the search found, made smaller (reduce.py), and run for ever.

`make test` runs the first, the third, and a few of the second that are the same each time.
`make field HOURS=1` searches with new ones (search.py) and writes what it finds to found/. With
FIELD_SEEDS=DIRECTORY it also changes the configurations (*.json) that engines wrote there.

A case that a peer does not answer, or breaks down at, says nothing: it is dropped, and kept
nowhere. With only one peer that runs here nothing is compared, and the tests are skipped by name.
"""
