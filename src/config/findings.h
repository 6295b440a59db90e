/* What is allowed in a configuration and still deserves a look: what nobody can reach, what everybody can, what will
 * fail when the gateway starts. Each finding is a warning with its fix; `sallyport lint` shows them. */
#ifndef SALLYPORT_CONFIG_FINDINGS_H
#define SALLYPORT_CONFIG_FINDINGS_H

#include "config/config.h"

/* From the configuration alone. */
void config_findings(const struct config *c, struct diags *d);

/* From the files that it names: missing ones are warnings, a secret that everybody may read is an error, and so is a
 * certificate whose key is another's. Runs no command, and reads no secret but private keys in files, to compare. */
void config_file_findings(const struct config *c, struct diags *d);

#endif
