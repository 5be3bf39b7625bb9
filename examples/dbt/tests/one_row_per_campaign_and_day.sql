select 'redemption_funnel' as model, campaign as campaign, day
from {{ ref('redemption_funnel') }}
group by all
having count(*) > 1

union all

select 'gift_card_liability', campaign_id, day
from {{ ref('gift_card_liability') }}
group by all
having count(*) > 1
