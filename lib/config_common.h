/* config_common.h - the section `common` of lib/config.h; for config.c. */
#ifndef CONFIG_COMMON_H
#define CONFIG_COMMON_H

#include "lib/config.h"

struct config_group config_common_group(void);

/* Take over what its parameters hold.  False with a sentence in err (CONFIG_ERROR_MAX bytes). */
bool config_common_set(char *err);

#endif
