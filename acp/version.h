/* What this program calls itself. MUX_COMMIT comes from the build. */
#ifndef MUX_ACP_VERSION_H
#define MUX_ACP_VERSION_H

#define MUX_VERSION "0.1.0"

#endif
