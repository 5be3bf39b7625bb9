"""The words and names in generated records."""

CAMPAIGNS = (
    "",
    "Summer Discounts 20% off",
    'Loyalty "Gold", 2026',
    "Grüße & Rabatte",
    "新春キャンペーン 🧧",
)
CODE_PREFIXES = ("SUMMER", "VIP", "WELCOME", "ÉTÉ", "春")
FIRST_NAMES = ("John", "Zoë", "Łukasz", "José", "张伟", "Aoife", "Søren", "Анна", "😀 Sam")
LAST_NAMES = ("Smith", "O'Brien", "Müller, Jr.", "Nguyễn", 'Anna "Ann" Ito', "García", "00123")
CITIES = (
    ("Houston", "TX", "United States of America", "77042-4143"),
    ("Boston", "MA", "United States of America", "02108"),
    ("Kraków", "", "Poland", "30-001"),
    ("Saint-Étienne", "", "France", "42000"),
    ("東京", "", "日本", "001-0010"),
)
TEXTS = (
    "",
    "",
    "",
    'He said "hello", then left',
    "two\nlines",
    "00123",
    "emoji 🎁, comma",
    "  spaces around  ",
    "=1+1",
    "null",
)
ORDER_STATUSES = ("CREATED", "PAID", "FULFILLED", "CANCELED")
FAILURES = (
    ("invalid_customer", "Customer must be a holder of a loyalty card."),
    ("voucher_expired", 'Voucher expired, "SUMMER" is over'),
    ("quantity_exceeded", "Quantity exceeded"),
)
TRANSACTION_TYPES = (
    *("CREDITS_REMOVAL", "CREDITS_ADDITION", "CREDITS_REFUND", "CREDITS_REDEMPTION"),
    *("POINTS_EXPIRATION", "POINTS_ADDITION", "POINTS_REMOVAL", "POINTS_TRANSFER_OUT"),
    *("POINTS_ACCRUAL", "POINTS_REFUND", "POINTS_REDEMPTION"),
)
API_CALLS = (
    ("POST", "/v1/validations", "/v1/validations"),
    ("POST", "/v1/redemptions", "/v1/redemptions"),
    ("GET", "/v1/vouchers/{code}", "/v1/vouchers/00123"),
    ("PUT", "/v1/customers/{customerId}", "/v1/customers/j%C3%B6rg.9%40ex%C3%A4mple.com"),
    ("DELETE", "/v1/publications", "/v1/publications?customer=%22x%22,y"),
)
API_STATUSES = ("200", "200", "200", "400", "404", "429")
CHANNELS = ("API", "CLIENT", "WEBSITE")
