import pytest

from groupeffect.simulate import SchoolReform, simulate_schools


@pytest.fixture(scope="session")
def clean() -> SchoolReform:
    """The default reform without faults."""
    return simulate_schools("clean", seed=11, faults=False)


@pytest.fixture(scope="session")
def faulty() -> SchoolReform:
    """The same draw with every fault."""
    return simulate_schools("clean", seed=11)
