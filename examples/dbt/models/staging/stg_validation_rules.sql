select
    id as validation_rule_id,
    name as validation_rule,
    type as validation_rule_type,
    context_type,
    rules,
    created_at,
    updated_at
from {{ source('voucherify', 'validation_rules') }}
