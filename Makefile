# Every target sets up what it needs first: packages through apt (as root or with sudo), the Python environment in .venv.
SHELL := /bin/sh
.PHONY: help demo test test-quick check coverage api-docs soak bench test-vm install uninstall clean

help:            ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /  make \1\t/p' $(MAKEFILE_LIST) | expand -t 20

demo:            ## set up, run a container, show what it is made of
	@scripts/demo

test:            ## lint, types, import rules and the whole suite, as an ordinary account
	@scripts/test

test-quick:      ## the same without what takes longer than ten seconds a test
	@scripts/test --quick

check:           ## lint, format, spelling, types, import rules
	@scripts/check

coverage:        ## lines and branches that the quick tests run: a table, and htmlcov/index.html
	@scripts/coverage

api-docs:        ## write docs/api/ from the docstrings
	@/usr/bin/python3 scripts/api_docs.py

soak:            ## the differential machine for an hour: SECONDS_TO_SOAK=3600 make soak
	@scripts/soak

bench:           ## measure beside what is installed of podman, docker, buildah, skopeo, apptainer, crun, fuse-overlayfs, kernel overlayfs
	@scripts/bench

test-vm:         ## resource limits, jobs of Slurm, a boot by systemd and an old kernel, in virtual machines
	@scripts/test-vm

install:         ## install the programs, man pages and completion: PREFIX=/usr/local DESTDIR= EXTRAS= make install
	@scripts/install

uninstall:       ## remove what the same PREFIX and DESTDIR have installed
	@scripts/install --remove

clean:           ## remove the environment and every cache
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache build dist htmlcov .coverage*
