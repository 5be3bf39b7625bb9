select
    id as assignment_id,
    rule_id as validation_rule_id,
    related_object_id,
    related_object_type,
    created_at
from {{ source('voucherify', 'validation_rule_assignments') }}
