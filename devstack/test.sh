#!/usr/bin/env bash
# Run the tests from a bare checkout: Debian packages (root, only those missing), tox, then what was asked for.
#
#   test.sh [all|unit|functional|api|machine|integration|probe|vm|pep8|mypy|prepare] [PYTEST ARGUMENT...]
#   test.sh clients [PYTEST ARGUMENT...]        what people have: openstackclient, openstacksdk, CSI, Terraform
#   test.sh tempest [--all] [NAME]              tempest, behind a keystone; see docs/tempest.md
#
# `prepare` installs what a full run needs, makes the Python environment, and stops there.
# `all` (the default) is pep8, mypy and one pytest run over unit, functional, api, machine, integration, probe and vm,
# which boots virtual machines for the kernel path; the last line is pytest's own summary. `probe` kills each daemon at
# each step once, `probe --all` before and after every step of every operation; what it found is in .probe.json, from
# which `python -m devstack.probe_doc` draws docs/reliability.md. `vm --all` kills more than nova-compute on the kernel
# path. `api` asks both APIs for whatever their own documents allow and forbid; NLITE_API_SEED=random tries what no run
# has tried, =N, which it prints, repeats it.
# `machine` kills daemons and spoils messages at every point of every request, on twins, and in thousands of random
# orders (NLITE_MACHINE_SEED and NLITE_MACHINE_EXAMPLES likewise); in `all` it is a sample of that.
set -euo pipefail
# shellcheck source=devstack/lib.sh
. "$(dirname -- "${BASH_SOURCE[0]}")/lib.sh"

TOX_VENV=$NLITE_ROOT/.tox/launcher
CLIENT_TESTS="clients or csi or terraform or integration"

usage() { sed -n '2,16s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"; }

# Without root the packages must be there already; say so before anything fails for want of them.
ensure_packages() { # KIND...
    local -a wanted missing
    mapfile -t wanted < <(wanted_packages "$@")
    mapfile -t missing < <(missing_packages "${wanted[@]}")
    ((${#missing[@]} == 0)) && return
    ((EUID == 0)) || die "these packages are missing: run as root once, or: sudo apt-get install ${missing[*]}"
    install_packages "$@"
}

ensure_tox() {
    local pin
    pin=$(sed -n 's/^tox==/tox==/p' "$NLITE_ROOT/constraints.txt")
    if [[ ! -x $TOX_VENV/bin/tox || $("$TOX_VENV/bin/python" -m pip freeze 2>/dev/null) != *"$pin"* ]]; then
        limited 120 "python3 -m venv" "$PYTHON" -m venv "$TOX_VENV"
        limited 300 "pip install tox" "$TOX_VENV/bin/python" -m pip install --quiet -c "$NLITE_ROOT/constraints.txt" tox
    fi
}

tox_run() { # ENVIRONMENT
    "$TOX_VENV/bin/tox" run -qq --no-list-dependencies -e "$1"
}

# tox makes the environment, pytest is run directly: nothing may follow its summary, not even tox's verdict.
make_environment() {
    limited 900 "tox (Python environment)" "$TOX_VENV/bin/tox" run -qq --notest --no-list-dependencies -e py3
}

run_pytest() { # ARGUMENT...
    make_environment
    # In front of the script, not under `await`: an interrupt is pytest's to handle, and it prints what it has.
    PYTHONDONTWRITEBYTECODE=1 "$NLITE_ROOT/.tox/py3/bin/python" -m pytest "$@"
}

# Tempest is no dependency of the project: it has an environment of its own, made anew when its pins change.
ensure_tempest() {
    local venv=$NLITE_ROOT/.tox/tempest pins=$NLITE_ROOT/devstack/tempest/constraints.txt
    ! cmp -s "$pins" "$venv/.installed" || return 0
    step "tempest ($(sed -n 's/^tempest==//p' "$pins"))"
    limited 120 "python3 -m venv" "$PYTHON" -m venv "$venv"
    limited 600 "pip install tempest" "$venv/bin/python" -m pip install --quiet -c "$pins" tempest
    cp "$pins" "$venv/.installed"
}

run_tempest() { # ARGUMENT...
    make_environment
    ensure_tempest
    PYTHONDONTWRITEBYTECODE=1 "$NLITE_ROOT/.tox/py3/bin/python" -m devstack.tempest \
        --programs "$NLITE_ROOT/.tox/tempest/bin" "$@"
}

main() {
    local what=${1:-all}
    (($# == 0)) || shift
    cd "$NLITE_ROOT"
    case $what in
    -h | --help) usage && exit 0 ;;
    unit | pep8 | mypy) ensure_packages build test ;;
    functional) ensure_packages build mariadb ;;
    tempest | clients) ensure_packages build run mariadb ;;
    api | machine) ensure_packages build ;;
    vm) ensure_packages build vm ;;
    integration | probe | all | prepare)
        ((EUID == 0)) || die "root is needed for $what (private libvirtd): sudo $0 $what; without root: $0 unit"
        # shellcheck disable=SC2046
        ensure_packages build test run mariadb $([[ $what == integration || $what == probe ]] || echo vm)
        ensure_apt_lists
        ;;
    *) usage >&2 && die "unknown: $what" ;;
    esac
    check_python
    ensure_tox
    case $what in
    prepare) make_environment && ensure_tempest ;;
    tempest) run_tempest "$@" ;;
    clients) run_pytest tests/functional tests/integration/test_keystone.py -k "$CLIENT_TESTS" "$@" ;;
    unit | functional | api) run_pytest "tests/$what" "$@" ;;
    integration) ensure_tempest && run_pytest tests/integration "$@" ;;
    vm)
        [[ ${1:-} != --all ]] || { export NLITE_VM=all && shift; }
        run_pytest tests/vm "$@"
        ;;
    machine) NLITE_MACHINE_EXAMPLES=${NLITE_MACHINE_EXAMPLES:-2000} run_pytest "tests/$what" --timeout 3600 "$@" ;;
    probe)
        export NLITE_PROBE_REPORT=${NLITE_PROBE_REPORT:-$NLITE_ROOT/.probe.json}
        [[ ${1:-} != --all ]] || { export NLITE_PROBE=all && shift; }
        run_pytest tests/probe "$@"
        ;;
    all)
        # All three run whatever the first ones say; pytest comes last so that its summary is the last line.
        local code=0
        step "pep8" && tox_run pep8 || code=1
        step "mypy" && tox_run mypy || code=1
        ((code == 0)) || printf '%serror:%s pep8 or mypy failed (see above)\n' "$RED" "$PLAIN"
        ensure_tempest
        step "tests" && run_pytest tests/{unit,machine,functional,api,integration,probe,vm} "$@" || code=$?
        exit "$code"
        ;;
    *) tox_run "$what" ;;
    esac
}

main "$@"
