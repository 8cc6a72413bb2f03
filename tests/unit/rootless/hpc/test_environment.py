"""Which variables a container of `hpc` has."""

from rootless.hpc.environment import caller_variables, option_variable

CALLER = {
    "PATH": "/host/bin",
    "LD_LIBRARY_PATH": "/host/lib",
    "HOME": "/home/me",
    "OMP_NUM_THREADS": "4",
    "http_proxy": "http://proxy",
    "TERM": "xterm",
    "APPTAINER_BIND": "/data",
    "SINGULARITYENV_A": "old",
    "APPTAINERENV_A": "new",
    "SINGULARITYENV_B": "b",
    "APPTAINERENV_PREPEND_PATH": "/opt/bin",
    "APPTAINERENV_APPEND_PATH": "/last/bin",
}


def test_the_callers_variables_are_passed_except_paths():
    found = caller_variables(CALLER, {}, clean=False)
    assert found.passed == {"OMP_NUM_THREADS": "4", "http_proxy": "http://proxy", "TERM": "xterm"}
    assert found.set == {"A": "new", "B": "b"}
    assert (found.before, found.after) == ("/opt/bin", "/last/bin")


def test_a_clean_environment_has_the_terminal_and_proxies():
    found = caller_variables(CALLER, {}, clean=True)
    assert found.passed == {"http_proxy": "http://proxy", "TERM": "xterm", "LANG": "C"}
    assert found.set == {"A": "new", "B": "b"}


def test_options_win_over_variables_that_set():
    found = caller_variables({"APPTAINERENV_A": "1"}, {"A": "2", "APPEND_PATH": "/x"}, clean=False)
    assert (found.set, found.after) == ({"A": "2"}, "/x")


def test_options_by_variables_prefer_the_new_name():
    environ = {"SINGULARITY_BIND": "/old", "APPTAINER_BIND": "/new", "SINGULARITY_NV": ""}
    assert option_variable(environ, "BINDPATH", "BIND") == "/new"
    assert option_variable(environ, "NV") == ""
    assert option_variable(environ, "ROCM") is None
