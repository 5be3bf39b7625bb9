-- Each campaign's liability on its last day equals the balances of its cards.
with latest as (
    select
        coalesce(arg_max_null(campaign_id, (created_at, transaction_id)), '(none)') as campaign_id,
        arg_max(balance, (created_at, transaction_id)) as balance
    from {{ ref('stg_voucher_transactions') }}
    where is_gift_card
    group by voucher_id
),

balances as (select campaign_id, sum(balance) as balance from latest group by all),

liabilities as (
    select campaign_id, arg_max(liability, day) as liability
    from {{ ref('gift_card_liability') }}
    group by all
)

select *
from balances
full join liabilities using (campaign_id)
where abs(coalesce(balance, 0) - coalesce(liability, 0)) > 0.005
