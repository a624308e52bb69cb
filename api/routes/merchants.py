"""进驻: onboarding and merchants."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter

from api.deps import Acting
from api.routes.shapes import DecisionIn, MaterialsIn, MerchantOut, OnboardingIn, OnboardingOut, TieIn, TieOut
from sandbox.kernel.unit import Unit
from sandbox.merchants import service, ties

router = APIRouter(tags=["merchants"])


@router.get("/onboardings", summary="进驻申请列表 · Onboarding applications")
def list_onboardings(unit: Annotated[Unit, Acting("onboarding:read")]) -> list[OnboardingOut]:
    return [OnboardingOut.from_record(unit, r) for r in service.list_for(unit)]


@router.post("/onboardings", status_code=201, summary="起草进驻申请 · Draft an onboarding application")
def draft(body: OnboardingIn, unit: Annotated[Unit, Acting("onboarding:submit")]) -> OnboardingOut:
    record = service.apply(unit, contact=body.contact, business=body.business, materials=body.materials)
    return OnboardingOut.from_record(unit, record)


@router.get("/onboardings/{onboarding_id}", summary="进驻申请 · One onboarding application")
def read(onboarding_id: str, unit: Annotated[Unit, Acting("onboarding:read")]) -> OnboardingOut:
    return OnboardingOut.from_record(unit, service.read(unit, onboarding_id))


@router.post("/onboardings/{onboarding_id}/materials", summary="补充材料 · Add materials")
def add_materials(
    onboarding_id: str, body: MaterialsIn, unit: Annotated[Unit, Acting("onboarding:submit")]
) -> OnboardingOut:
    return OnboardingOut.from_record(unit, service.add_materials(unit, onboarding_id, dict(body.materials)))


@router.post("/onboardings/{onboarding_id}/submit", summary="提交 · Submit")
def submit(onboarding_id: str, unit: Annotated[Unit, Acting("onboarding:submit")]) -> OnboardingOut:
    return OnboardingOut.from_record(unit, service.submit(unit, onboarding_id))


@router.post("/onboardings/{onboarding_id}/decision", summary="核查结论 · Decide: admit, return or reject")
def decide(onboarding_id: str, body: DecisionIn, unit: Annotated[Unit, Acting("onboarding:check")]) -> OnboardingOut:
    return OnboardingOut.from_record(unit, service.decide(unit, onboarding_id, body.decision, body.reason))


@router.get("/merchants", summary="数据商列表 · Merchants")
def list_merchants(unit: Annotated[Unit, Acting("merchant:read")]) -> list[MerchantOut]:
    return [MerchantOut.from_record(unit, m) for m in service.merchants(unit)]


@router.post("/merchants/{merchant_id}/standing", summary="暂停或恢复 · Suspend or resume")
def standing(merchant_id: str, body: DecisionIn, unit: Annotated[Unit, Acting("merchant:suspend")]) -> MerchantOut:
    return MerchantOut.from_record(unit, service.change_standing(unit, merchant_id, body.decision, body.reason))


@router.get("/merchants/{merchant_id}/ties", summary="关联关系 · Ties to other merchants")
def list_ties(merchant_id: str, unit: Annotated[Unit, Acting("merchant:read")]) -> list[TieOut]:
    return [TieOut.model_validate(one, from_attributes=True) for one in ties.ties_of(unit, merchant_id)]


@router.post(
    "/merchants/{merchant_id}/ties", status_code=201,
    summary="申报同一受益所有人或联合体 · Declare one beneficial owner or a consortium",
)  # fmt: skip
def declare_tie(merchant_id: str, body: TieIn, unit: Annotated[Unit, Acting("merchant:tie")]) -> TieOut:
    return TieOut.model_validate(ties.declare(unit, merchant_id, body.kind, body.name), from_attributes=True)
