#include "policy/typecheck.h"
enum err policies_validate(const struct policy_set *set, const struct schema *schema, struct arena *mem,
                           struct mistakes *m)
{
    (void)set;
    (void)schema;
    (void)mem;
    (void)m;
    return ERR_OK;
}
