"""The list endpoints of the sandbox: campaigns, validation rules, assignments, promotion tiers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from dev.sandbox import REFERENCES, Behaviour, Dataset, Fault, Reply

from .sandbox_client import NO_ROWS, SMALL, serving

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .sandbox_client import Client

ASCENDING = "order=created_at&limit=10"


def page(client: Client, name: str, query: str = "") -> Any:
    """Return a page of a list."""
    return client.call("GET", f"{REFERENCES[name].path}?{query}").json()


def pages(client: Client, name: str, query: str) -> Iterator[list[dict[str, Any]]]:
    """Yield the objects of each page up to the first empty one."""
    for number in range(1, 101):
        objects = page(client, name, f"{query}&page={number}")[REFERENCES[name].data_ref]
        if not objects:
            return
        yield objects


def everything(client: Client, name: str, query: str = ASCENDING) -> list[dict[str, Any]]:
    """Return the objects of all pages."""
    return [each for objects in pages(client, name, query) for each in objects]


# Content


@pytest.mark.parametrize("name", REFERENCES)
def test_all_pages_together_are_the_list(name: str) -> None:
    """The pages together hold all objects in order of creation, with the total on each page."""
    with serving(dataset=Dataset(sizes=SMALL, reference_sizes={name: 25})) as client:
        objects = everything(client, name)
        assert objects == client.sandbox.dataset.references.objects(name)
        assert len({each["id"] for each in objects}) == 25
        times = [each["created_at"] for each in objects]
        assert times == sorted(times)
        assert len(set(times)) < 25
        first = page(client, name, ASCENDING)
        data_ref = REFERENCES[name].data_ref
        assert (first["object"], first["data_ref"], first["total"]) == ("list", data_ref, 25)
        assert [client.sandbox.requests[-1].kind, len(first[data_ref])] == [name, 10]
        assert first.get("has_more") == (True if name == "promotion_tiers" else None)
        assert page(client, name, f"{ASCENDING}&page=3").get("has_more") in {None, False}
        assert client.sandbox.requests[-1].status == 200


@pytest.mark.parametrize("name", REFERENCES)
def test_a_list_is_ordered_on_request(name: str) -> None:
    """A list is newest first by default, and only some properties can be ordered by."""
    with serving(dataset=Dataset(sizes=SMALL, reference_sizes={name: 25})) as client:
        data_ref = REFERENCES[name].data_ref
        ascending = everything(client, name)
        assert page(client, name)[data_ref] == ascending[:14:-1]
        for property_name in ("updated_at", "name"):
            response = client.call("GET", f"{REFERENCES[name].path}?order=-{property_name}")
            assert (response.status_code == 200) == (property_name in REFERENCES[name].orders)
        assert client.call("GET", f"{REFERENCES[name].path}?limit=101").status_code == 400
        assert client.call("GET", f"{REFERENCES[name].path}?page=101").status_code == 400


def test_objects_are_as_documented() -> None:
    """Required properties are always present, optional ones sometimes, and some are nested."""
    required = {
        "campaigns": "id name campaign_type type auto_join join_once created_at category_id "
        "categories use_voucher_metadata_schema creation_status vouchers_generation_status "
        "protected object",
        "validation_rules": "id name rules applicable_to created_at type context_type object",
        "validation_rules_assignments": "id rule_id related_object_id related_object_type "
        "created_at object",
        "promotion_tiers": "id created_at name action metadata hierarchy campaign_id active object "
        "campaign summary validation_rule_assignments",
    }
    references = Dataset(reference_sizes={"campaigns": 30}).references
    for name, properties in required.items():
        objects = references.objects(name)
        always = set.intersection(*(set(each) for each in objects))
        assert set(properties.split()) <= always
        optional = set.union(*(set(each) for each in objects)) - always
        assert ("updated_at" in optional) == (name != "validation_rules_assignments")
    campaigns = references.objects("campaigns")
    assert len({each["campaign_type"] for each in campaigns}) == 5
    assert {"referral_program", "loyalty_tiers_expiration"} <= set().union(*campaigns)
    assert any(each["metadata"].get("big") == 12345678901234567890 for each in campaigns)


def test_ids_of_exports_lead_to_objects() -> None:
    """Every campaign, validation rule and promotion tier in an export is in its list."""
    dataset = Dataset()
    ids = {
        name: {each["id"]: each for each in dataset.references.objects(name)} for name in REFERENCES
    }
    vouchers, redemptions = dataset.rows("voucher"), dataset.rows("redemption")
    for cell, name, rows in (
        ("campaign_id", "campaigns", vouchers),
        ("campaign_id", "campaigns", dataset.rows("points_expiration")),
        ("campaign_id", "campaigns", dataset.rows("voucher_transactions")),
        ("validation_rules_id", "validation_rules", vouchers),
        ("promotion_tier_id", "promotion_tiers", redemptions),
    ):
        referred = {row.cells[cell] for row in rows} - {""}
        assert referred
        assert referred <= set(ids[name])
    names = {row.cells["campaign_id"]: row.cells["campaign"] for row in vouchers}
    assert all(ids["campaigns"][id_]["name"] == name for id_, name in names.items() if id_)


def test_objects_refer_to_each_other() -> None:
    """Assignments refer to rules and restricted objects, and promotion tiers to campaigns."""
    dataset = Dataset()
    campaigns, rules, assignments, tiers = map(dataset.references.objects, REFERENCES)
    ids = {each["id"] for each in (*campaigns, *rules, *tiers)}
    ids |= {row.cells["id"] for row in dataset.rows("voucher")}
    assert {each["rule_id"] for each in assignments} <= ids
    assert {each["related_object_id"] for each in assignments} <= ids
    assert {each["related_object_type"] for each in assignments} == {
        *("voucher", "campaign", "promotion_tier"),
    }
    promotions = {each["id"] for each in campaigns if each["campaign_type"] == "PROMOTION"}
    assert {each["campaign_id"] for each in tiers} <= promotions
    listed = [each["validation_rule_assignments"] for each in tiers]
    nested = [each for some in listed if some for each in some["data"]]
    assert all(each in assignments for each in nested)
    assert len(nested) == 20
    assert sum(each.get("assignments_count", 0) for each in rules) == len(assignments)


def test_an_account_may_have_nothing_to_refer_to() -> None:
    """Without campaigns and validation rules, no export refers to one."""
    dataset = Dataset(sizes=SMALL, reference_sizes=dict.fromkeys(REFERENCES, 0))
    with serving(dataset=dataset) as client:
        for name in REFERENCES:
            assert page(client, name)["total"] == 0
        for name in ("voucher", "points_expiration"):
            assert {row.cells["campaign_id"] for row in dataset.rows(name)} == {""}
        assert {row.cells["validation_rules_id"] for row in dataset.rows("voucher")} == {""}
    lonely = {"validation_rules_assignments": 3, "campaigns": 0, "promotion_tiers": 1}
    references = Dataset(sizes=NO_ROWS, reference_sizes=lonely).references
    types = [each["related_object_type"] for each in references.objects(next(iter(lonely)))]
    assert sorted(types) == ["distribution", "distribution", "promotion_tier"]
    assert references.objects("promotion_tiers")[0]["campaign_id"] is None


# Changes


@pytest.mark.parametrize("name", REFERENCES)
def test_objects_can_be_created_and_deleted(name: str) -> None:
    """A created object is the newest, and a deleted one is gone for good."""
    references = Dataset(sizes=SMALL).references
    before = references.objects(name)
    created = references.create(name)
    references.delete(name, before[0]["id"])
    ids = [each["id"] for each in references.objects(name)]
    assert ids == [*(each["id"] for each in before[1:]), created]
    with pytest.raises(KeyError):
        references.delete(name, before[0]["id"])


@pytest.mark.parametrize(
    ("changes", "missing", "total"), [("created", 0, 26), ("deleted", 1, 24), ("replaced", 1, 25)]
)
def test_pages_may_change_while_they_are_read(changes: Any, missing: int, total: int) -> None:
    """A deletion before the second page moves later objects to the page before."""
    behaviour = Behaviour(page_changes=changes)
    dataset = Dataset(sizes=SMALL, reference_sizes={"campaigns": 25})
    with serving(behaviour, dataset) as client:
        seen = [each["id"] for each in everything(client, "campaigns")]
        now = [each["id"] for each in dataset.references.objects("campaigns")]
        assert len(now) == total
        assert len(set(now) - set(seen)) == missing
        assert [each["id"] for each in everything(client, "campaigns")] == now


def test_pages_may_change_at_every_request() -> None:
    """Newest first, each new object moves one to the next page, where it appears again."""
    behaviour = Behaviour(page_changes="created", page_change_limit=100)
    dataset = Dataset(sizes=SMALL, reference_sizes={"campaigns": 25})
    with serving(behaviour, dataset) as client:
        seen = [each["id"] for each in everything(client, "campaigns", "limit=10")]
    assert len(dataset.references.objects("campaigns")) == 28
    assert (len(seen), len(set(seen))) == (27, 25)


# Errors


@pytest.mark.parametrize("name", REFERENCES)
def test_endpoints_may_be_forbidden_or_missing(name: Any) -> None:
    """Each endpoint can be forbidden, missing or hit by a fault."""
    with serving(Behaviour(forbidden_endpoints={name})) as client:
        path = REFERENCES[name].path
        error = client.call("GET", path)
        assert (error.status_code, error.json()["key"]) == (403, "forbidden")
        client.sandbox.behaviour = Behaviour(missing_endpoints={name, "schemas"})
        error = client.call("GET", path)
        assert (error.status_code, error.json()["key"]) == (404, "not_found")
        assert client.call("GET", "/v1/metadata-schemas").status_code == 404
        assert client.call("GET", "/v1/exports").status_code == 200
        client.sandbox.behaviour = Behaviour()
        client.sandbox.faults.add(Fault(on=name, action=Reply(503)))
        assert [client.call("GET", path).status_code for _ in range(2)] == [503, 200]


@pytest.mark.parametrize("name", REFERENCES)
def test_each_list_has_its_own_scope(name: str) -> None:
    """A list needs its own scope or `api`; the scope of exports is not enough."""
    with serving() as client:
        for scope, status in ((REFERENCES[name].scope, 200), ("api", 200), ("exports", 401)):
            form = {"grant_type": "client_credentials", "scope": scope}
            token = client.call("POST", "/v1/oauth/token", data=form).json()["access_token"]
            headers = {"Authorization": f"Bearer {token}"}
            path = REFERENCES[name].path
            assert client.call("GET", path, headers=headers).status_code == status
