"""进驻: an onboarding application is checked; admitted, it makes a merchant. The two are different records."""
